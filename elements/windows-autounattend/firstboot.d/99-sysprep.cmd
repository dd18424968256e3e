@echo off
rem The last one: sysprep makes an image of the installation, and Windows is switched off.
setlocal EnableExtensions DisableDelayedExpansion
set "OURS=%SystemRoot%\Setup\dib-py"
if not "%DIB_WINDOWS_SYSPREP%"=="1" goto tidy
rem Windows may end before this is noted as done: what is made of the image must not do it again
set "BEGUN=%DIB_FIRSTBOOT%sysprep-begun.txt"
if exist "%BEGUN%" goto tidy
set "GIVEN="
if exist "%OURS%\unattend.xml" set "GIVEN=/unattend:%OURS%\unattend.xml"
>"%BEGUN%" echo begun
"%SystemRoot%\System32\Sysprep\sysprep.exe" /generalize /oobe /quit /quiet %GIVEN%
if errorlevel 1 goto failed
rem sysprep has its own copy of the answers, which Windows strikes passwords out of
if exist "%OURS%" rmdir /s /q "%OURS%"
"%SystemRoot%\System32\shutdown.exe" /s /t 10
exit /b 0

:failed
set "CODE=%ERRORLEVEL%"
del "%BEGUN%"
exit /b %CODE%

:tidy
if exist "%OURS%" rmdir /s /q "%OURS%"
exit /b 0
