@echo off
rem Installs the product key, and activates Windows if that is wanted.
setlocal
set "SLMGR=%SystemRoot%\System32\cscript.exe //nologo //b %SystemRoot%\System32\slmgr.vbs"
if not defined DIB_PRODUCT_KEY goto activate
%SLMGR% /ipk "%DIB_PRODUCT_KEY%"
if errorlevel 1 exit /b 1
:activate
if not "%DIB_PRODUCT_ACTIVATE%"=="1" exit /b 0
%SLMGR% /ato
exit /b %ERRORLEVEL%
