@echo off
rem The last one: sysprep makes an image of the installation, and Windows is switched off; the image's first start ends it.
setlocal EnableExtensions DisableDelayedExpansion
set "SYSTEM32=%SystemRoot%\System32"
set "OURS=%SystemRoot%\Setup\dib-py"
rem Setup's copy of the medium, with all that is secret on it
if exist "%SystemRoot%\ConfigSetRoot" rmdir /s /q "%SystemRoot%\ConfigSetRoot"
if exist "%OURS%\log.txt" type "%OURS%\log.txt"
if not "%DIB_WINDOWS_SYSPREP%"=="1" goto tidy
rem as the runner has it from scripts before: a restart first, as sysprep refuses what is half done
if defined RESTART exit /b 1003
set "BEGUN=%DIB_FIRSTBOOT%sysprep-begun.txt"
if exist "%BEGUN%" goto tidy
set "GIVEN="
if exist "%OURS%\unattend.xml" set "GIVEN=/unattend:%OURS%\unattend.xml"
rem Windows may end before sysprep is through with it: what is made of the image must not do it again
>"%BEGUN%" echo begun
"%SYSTEM32%\Sysprep\sysprep.exe" /generalize /oobe /quit /quiet %GIVEN%
set "CODE=%ERRORLEVEL%"
if not "%CODE%"=="0" goto failed
set "KEY=HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Setup\State"
set "STATE="
for /f "tokens=3" %%v in ('%SYSTEM32%\reg.exe query %KEY% /v ImageState 2^>nul') do set "STATE=%%v"
echo the state is %STATE%
set "CODE=1"
if not "%STATE%"=="IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE" goto failed
rem sysprep has its own copy of the answers, which Windows strikes passwords out of
if exist "%OURS%" rmdir /s /q "%OURS%"
"%SYSTEM32%\shutdown.exe" /s /t 10
exit /b 1002

:failed
del "%BEGUN%"
exit /b %CODE%

:tidy
if exist "%OURS%" rmdir /s /q "%OURS%"
rem services that were to wait for a machine of its own
if not exist "%DIB_FIRSTBOOT%services.txt" exit /b 0
for /f "usebackq delims=" %%s in ("%DIB_FIRSTBOOT%services.txt") do call :start "%%s"
del "%DIB_FIRSTBOOT%services.txt"
exit /b 0

:start
"%SYSTEM32%\sc.exe" config %1 start= auto
"%SYSTEM32%\sc.exe" start %1
exit /b 0
