@echo off
rem Installs the product key, and activates Windows if that is wanted. What fails has a negative exit code.
setlocal
set "SLMGR=%SystemRoot%\System32\cscript.exe //nologo %SystemRoot%\System32\slmgr.vbs"
if not defined DIB_PRODUCT_KEY goto activate
%SLMGR% /ipk "%DIB_PRODUCT_KEY%"
if not "%ERRORLEVEL%"=="0" exit /b %ERRORLEVEL%
:activate
if not "%DIB_PRODUCT_ACTIVATE%"=="1" exit /b 0
%SLMGR% /ato
exit /b %ERRORLEVEL%
